"""The YAML file: who sends, where to, and what each destination wants. One model per idea, checked at start, frozen."""
