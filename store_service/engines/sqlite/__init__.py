"""The SQLite engine: one file, one owning process, group commit. Begin with ``engine.py``."""

from store_service.engines.sqlite.engine import open_sqlite
from store_service.engines.sqlite.errors import DatabaseInUse, DatabaseUnusable, ForeignDatabase, SchemaTooNew

__all__ = ["DatabaseInUse", "DatabaseUnusable", "ForeignDatabase", "SchemaTooNew", "open_sqlite"]
