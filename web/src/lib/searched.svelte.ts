// What was searched for last, so that going back from a message finds the list again. In memory alone:
// a record number is patient data and belongs into no URL and no storage of the browser.
class Searched {
  name = $state('');
  value = $state('');
  /** Counts searches, so that the same one can be made again. */
  turn = $state(0);
  /** Somebody has just searched and goes on at the results. */
  toResults = false;

  forget(): void {
    this.name = '';
    this.value = '';
    this.turn += 1;
  }
}

export const searched = new Searched();
