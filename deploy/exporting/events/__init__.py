"""Export to files that run by their events: a captured network as the plan of ``deploy.events``.

Imports the front of ``exporting``, ``events``, ``running`` and evglif.
"""
