"""What every network of this package trains with: batches, initial weights, the run's log."""
