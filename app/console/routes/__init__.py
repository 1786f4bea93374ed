"""The addresses of the console. Each route names the right that it needs, see visit.py."""
