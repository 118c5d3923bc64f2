"""The PostgreSQL database: connections, statements, migrations, and an embedded server."""
