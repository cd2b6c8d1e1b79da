import click


@click.group()
def app():
    """An app."""


@app.command()
@click.argument("name")
@click.option("--times", default=1)
def greet(name, times):
    """Greets NAME."""
    for _ in range(times):
        click.echo(f"hello {name}")
    if name == "nobody":
        raise click.ClickException("there is nobody")


if __name__ == "__main__":
    app()
