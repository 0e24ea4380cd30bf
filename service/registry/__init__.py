"""The catalogue of versions and deployments.

registry    list, show, activate, roll back, delete
importing   a model that somebody brings becomes a version
promotion   the rule that decides whether a new version becomes the active one
"""
