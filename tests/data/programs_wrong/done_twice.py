"""The whole order is tried again after its second step failed, so the first step is done twice."""

from loop import GOOD, ask, model, offer
from scripted_model import call, say

charges = []
mails = []


def charge(order, cents):
    """Charge the card; a second charge is another one."""
    charges.append(order)
    return {"receipt": f"R-{5100 + len(charges)}", "charged": True}


def mail(order):
    """Send the confirmation; the server is busy at first."""
    mails.append(order)
    if len(mails) == 1 and not GOOD:
        raise ConnectionError("the mail server is busy")
    return {"sent": True}


def serve(client):
    """Serve one order."""
    messages = [{"role": "user", "content": "Order A-771 costs 2450 cents. Charge it and send the mail."}]
    offered = [offer("charge", order="string", cents="integer"), offer("mail", order="string")]
    return ask(client, messages, offered, {"charge": charge, "mail": mail})


SCRIPT = [
    say("", call("charge", order="A-771", cents=2450)),
    say("", call("mail", order="A-771")),
    say("The order A-771 is paid and confirmed."),
]

with model(SCRIPT) as client:
    try:
        print(serve(client))
    except ConnectionError:
        print(serve(client))
