"""What a person can do with a project; knows neither Qt nor torch."""
