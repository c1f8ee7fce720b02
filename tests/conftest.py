from hypothesis import settings

# Repeatable and without a deadline: a busy machine must not fail a test. Hunt with --hypothesis-profile=hunt.
settings.register_profile("default", deadline=None, derandomize=True, database=None)
settings.register_profile("hunt", deadline=None, max_examples=2_000)
settings.load_profile("default")
