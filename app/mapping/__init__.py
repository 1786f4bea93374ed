"""From one event and its identity to the calls Attentive gets. Pure: same event, same calls."""
