"""stub."""


def index_path(path):
    return tuple(path.split("."))


def execute(tx, text, parameters):
    raise NotImplementedError


def explain(book, text, parameters):
    raise NotImplementedError
