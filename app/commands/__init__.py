"""The commands behind `attentive-gateway`, one module each."""
