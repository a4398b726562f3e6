"""What the training of all networks shares: batches, initial weights, the run's log."""
