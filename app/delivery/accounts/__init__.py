"""What is known of the Attentive account behind a destination: its token, its app, its attributes and event types."""
