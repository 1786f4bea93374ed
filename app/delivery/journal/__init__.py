"""What is recorded of events and calls for people to see, masked and bounded: the journal, recorded calls, the search."""
