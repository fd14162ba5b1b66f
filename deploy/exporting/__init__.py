"""What makes files of a checkpoint, and checks that they say what it says. Runs where torch and evglif are.

Imports from ``running`` the description that a file carries and what runs it.
"""
