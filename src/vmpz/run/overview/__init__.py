"""What a store holds, gathered for people: the numbers and pictures that a report shows."""
