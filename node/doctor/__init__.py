"""``lilypad doctor``: looks a peer over and says, for everything that is wrong, what mends it."""
