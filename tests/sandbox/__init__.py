"""The model of Attentive's API behaves as the documents say."""
