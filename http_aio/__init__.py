"""The aiohttp arm: the same domain, called over REST on an event loop."""
