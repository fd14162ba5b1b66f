"""Evaluation: what a model gets right, how sure that is, how much its neurons fire and what they have learnt."""
