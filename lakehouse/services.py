"""What to say when a service of the stack does not answer."""


class ServiceDownError(ConnectionError):
    """A service of the stack does not answer; the message names it and the command that starts it."""

    def __init__(self, service: str, address: str) -> None:
        super().__init__(f"{service} does not answer at {address}; start it with: lakehouse up {service}")
        self.service = service
