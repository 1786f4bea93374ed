"""What is stored about people: profiles, how they are looked up and how they are updated."""
