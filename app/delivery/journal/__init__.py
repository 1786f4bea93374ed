"""What is recorded of events and calls for people to see, masked and bounded: journal, recorded calls, search."""
