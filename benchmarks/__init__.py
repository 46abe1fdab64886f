"""What the README's figures come from: run by hand, never in CI.

-   python -m benchmarks.prompt_service
-   python -m benchmarks.cache
-   python -m benchmarks.semantic_cache --pairs FILE --queries FILE
-   python -m benchmarks.waiting_reviews
-   python -m benchmarks.guarded_write FILE …
-   python -m benchmarks.quality PART FILE …
-   python -m benchmarks.specialist FILE … --peer PYTHON --route 2000
"""
