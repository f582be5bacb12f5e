/** Into the avatar's room, and out of it unasked. */

import { backoff } from "../lib/clock.js";
import { refusalOf } from "../recovery/diagnosis.js";
import { lacksTracks, offerNow, publishedIn } from "./remote-tracks.js";

/** @typedef {import("./room.js").AvatarRoom} AvatarRoom */

/** A room may not have spread yet, or `start` is still on its way: some seconds of trying, then a verdict. */
const TRIES = 6;
const RETRY = { first: 300, most: 3_000 };
/** Here a second try with the same token could only fail again. */
const CLOSED = ["PARTICIPANT_REMOVED", "ROOM_DELETED"];

/**
 * Join, patiently and boundedly.
 *
 * @param {AvatarRoom} room
 * @param {string} url
 * @param {string} token
 */
export async function enter(room, url, token) {
  room.visit += 1;
  const { visit } = room;
  const isAgain = room.place !== undefined;
  room.place = { url, token };
  room.isIn = room.isReconnecting = false;
  const isUnanswered = room.joiningSince > 0 && ["", "network"].includes(room.refusal);
  if (!isUnanswered) room.joiningSince = performance.now(); // one more try is no answer
  room.refusal = "";
  if (isAgain) await room.room.disconnect(); // LiveKit would take the old connection for the new one
  if (visit !== room.visit) return;
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    try {
      await room.room.connect(url, token);
      if (visit !== room.visit) return;
      room.isIn = true;
      room.joiningSince = 0;
      if (lacksTracks(room.room)) offerNow(room.room);
      room.onEvent({ type: "room_joined" });
      for (const kind of publishedIn(room.room)) room.onEvent({ type: "track_published", kind }); // LiveKit tells of later ones
      return;
    } catch (error) {
      if (visit !== room.visit) return;
      room.refusal = refusalOf(room.LiveKit, error);
      if (room.refusal === "token" && attempt > 0) break; // it will not get better
      await new Promise((resolve) => setTimeout(resolve, backoff(attempt, RETRY)));
      if (visit !== room.visit) return;
    }
  }
  room.onEvent({ type: "room_lost", reason: room.LiveKit.DisconnectReason.JOIN_FAILURE, code: "room_refused" });
}

/**
 * @param {AvatarRoom} room
 * @param {import("livekit-client").DisconnectReason} [reason]
 */
export function thrownOut(room, reason = room.LiveKit.DisconnectReason.UNKNOWN_REASON) {
  if (!room.isIn) return; // a join that did not come about is told by join()
  room.isIn = room.isReconnecting = false;
  const name = room.LiveKit.DisconnectReason[reason] ?? "";
  if (name === "CLIENT_INITIATED") return; // the page is being left
  room.onEvent({ type: "room_disconnected", reason });
  if (name === "DUPLICATE_IDENTITY") room.onEvent({ type: "room_lost", reason, code: "room_elsewhere" });
  else if (CLOSED.includes(name)) {
    room.refusal = "closed";
    room.onEvent({ type: "room_lost", reason, code: "room_closed" });
  } else if (room.place) void enter(room, room.place.url, room.place.token);
}
