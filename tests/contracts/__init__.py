"""What the gateway sends, held against Attentive's contract."""
