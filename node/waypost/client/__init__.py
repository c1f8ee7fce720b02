"""The SDK: a program as one device of one account, under asyncio or trio.

async with connect(profile_dir) as me:
    sent = await me.send("bob@finch.example", "hi")
    await sent.delivered()
    async for message in me.inbox():
        print(message.sender, message.text)
"""

from waypost.client.client import Client
from waypost.client.connecting import connect, join
from waypost.client.mail.content import Content
from waypost.client.mail.incoming import Message
from waypost.client.mail.status import SentState, Status
from waypost.client.parts import Parts
from waypost.client.talk.inbox import Inbox
from waypost.client.talk.sent import Sent

__all__ = ["Client", "Content", "Inbox", "Message", "Parts", "Sent", "SentState", "Status", "connect", "join"]
