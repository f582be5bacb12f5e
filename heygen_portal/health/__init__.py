"""Health of the portal's processes and services, for load balancers and monitors."""
