"""The servers that the gateway is compared with. Each is one file that could be somebody's first version."""
