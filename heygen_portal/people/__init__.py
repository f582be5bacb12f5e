"""Users: sign-in, single sign-on, second factor, roles, invitations and mail."""
