"""The live panel: the chain as a picture, a shop, loads, faults and the audit, in a browser.

A process of its own beside the arm. `observing` looks at the services, `acting` does what buttons
ask for, `ordering` is the shop and the story of an order, `guarding` decides who may do what, and
`server` puts them on a port. Nothing here is needed by an arm: it may end at any time.
"""
