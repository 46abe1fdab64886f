"""What the README's figures come from: run by hand, never in CI.

python -m benchmarks.prompt_service
"""
