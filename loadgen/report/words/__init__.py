"""Sentences and commands of the report, made from figures."""
