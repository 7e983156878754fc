"""The Promela model of lease, guard, fence and redelivery, and how it is checked. See ``lease_guard.pml``."""
