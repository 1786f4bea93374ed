"""The YAML file: sources, destinations and their settings. One model per idea, checked at start, frozen."""
