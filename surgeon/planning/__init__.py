"""What a plan comes to before anything is trained: frontiers, the schedule, forecasts, the machine."""
