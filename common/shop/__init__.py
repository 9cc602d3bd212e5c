"""The shop's file, ecommerce.db: its schema, its checks, and a generator."""
