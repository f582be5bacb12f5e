"""Health of the portal's work: jobs, deadlines, checks and providers."""
