// Whether pages refresh themselves. Somebody who reads may stop all of it (WCAG 2.2 §2.2.2).
class Updates {
  paused = $state(false);
}

export const updates = new Updates();
