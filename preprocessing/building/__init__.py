"""A build: what is to be done, done by processes of this machine or of a cluster, and gone on with after any end.

Imports every other room but ``inspection``; only the command ``build`` imports it.
"""
