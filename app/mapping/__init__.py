"""From one event and its identity to calls to Attentive. Pure: equal events give equal calls."""
