"""Who gets in, and how: signing in, single sign-on, the second factor, invitations."""
