"""`python -m tests.mutation --help`."""

if __name__ == "__main__":
    from tests.mutation.command import main

    main()
