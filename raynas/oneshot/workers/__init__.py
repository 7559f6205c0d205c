"""What the workers of one training say to each other: gradients, and whether they still agree."""
