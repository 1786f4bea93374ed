"""The image: its Dockerfile and compose.yaml."""
