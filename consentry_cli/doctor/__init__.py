"""What can be wrong with a deployment, looked at from outside, in plain words."""
