"""Forgetting a person: requests, the removal from everything that is stored, and the receipts."""
