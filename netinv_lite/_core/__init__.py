"""What every other room builds on: a user's network handled with care, and files."""
