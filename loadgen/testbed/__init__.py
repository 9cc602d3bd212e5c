"""What the arms and the generator are compared with: bare chains, a trivial server, other clients."""
