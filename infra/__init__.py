"""The only door to the outside: settings, errors, models, PostgreSQL, embedded servers."""
