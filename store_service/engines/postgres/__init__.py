"""The PostgreSQL engine: many replicas over one database, group commit. Begin with ``engine.py``."""

from store_service.engines.postgres.engine import Options, open_postgres

__all__ = ["Options", "open_postgres"]
